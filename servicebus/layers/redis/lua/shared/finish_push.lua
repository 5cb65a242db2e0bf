-- What ends every script that pushes: length is that of the list after the push, count the frames that stay in it.
if count == 0 then
  -- A refusal keeps nothing alive.
  return 0
end
-- A list that was not there before has no TTL yet.
local ttl = -1
if length > #ARGV - 3 then
  ttl = redis.pcall('PTTL', KEYS[1])
end
if type(ttl) == 'number' and ttl < tonumber(ARGV[2]) then
  redis.pcall('PEXPIRE', KEYS[1], ARGV[2])
end
return count
