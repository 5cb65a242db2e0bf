-- send(list, workers; capacity, ttl_ms, needs_worker, frame...) -> pushed
--   KEYS[1]  list     the channel's frames, oldest first
--   KEYS[2]  zset     the channel's workers, same slot
--   ARGV[1]  capacity messages the channel may hold
--   ARGV[2]  ttl_ms   the list lives this long at least
--   ARGV[3]  "1"      refuse all when no worker is registered: -1
--   ARGV[4…] frames   pushed in order, as many as there is room for
if ARGV[3] == '1' and redis.call('EXISTS', KEYS[2]) == 0 then
  return -1
end
local count = #ARGV - 3
local room = tonumber(ARGV[1]) - redis.call('LLEN', KEYS[1])
if count > room then
  count = room
end
if count <= 0 then
  return 0
end
redis.call('RPUSH', KEYS[1], unpack(ARGV, 4, 3 + count))
-- pcall: an error answer of this script means that nothing was pushed, so nothing may fail from here on.
local ttl = redis.pcall('PTTL', KEYS[1])
if type(ttl) == 'number' and ttl < tonumber(ARGV[2]) then
  redis.pcall('PEXPIRE', KEYS[1], ARGV[2])
end
return count
