-- What ends every script that pushes: length is that of the list after the push, count the frames that stay in it. The
-- answer is how many these are; with KEYS[3], which numbers the frames of the list: {how many, the number of the last}.
if count == 0 then
  -- A refusal keeps nothing alive.
  return KEYS[3] and {0, 0} or 0
end
if length == #ARGV - 3 then
  redis.pcall('PEXPIRE', KEYS[1], ARGV[2])
elseif redis.pcall('PEXPIRE', KEYS[1], ARGV[2], 'GT') == 0 and redis.pcall('PTTL', KEYS[1]) == -1 then
  -- Somebody else has pushed to the list without a TTL. GT takes such a list for one that lives for ever.
  redis.pcall('PEXPIRE', KEYS[1], ARGV[2])
end
if not KEYS[3] then
  return count
end
local number = redis.pcall('INCRBY', KEYS[3], count)
if type(number) ~= 'number' then
  number = 0
elseif number == count or number % 64 < count then
  -- New, or so many frames later: a list whose numbers have ended has no more than so many, and those are found.
  if number == count then
    redis.pcall('ZREMRANGEBYSCORE', KEYS[4], '-inf', '+inf')
    redis.pcall('ZADD', KEYS[4], 0, '')
  end
  redis.pcall('PEXPIRE', KEYS[3], ARGV[2])
  redis.pcall('PEXPIRE', KEYS[4], ARGV[2])
end
return {count, number}
