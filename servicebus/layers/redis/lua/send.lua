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
-- Nobody sees the list before this script ends, so what is too much may be taken off again.
local length = redis.call('RPUSH', KEYS[1], unpack(ARGV, 4))
-- pcall: an error answer of this script means that nothing was pushed, so nothing may fail from here on.
local over = length - tonumber(ARGV[1])
-- By value, from the tail: who may push to a channel need not be allowed to pop from it. What stays counts as pushed.
while over > 0 and count > 0 and redis.pcall('LREM', KEYS[1], -1, ARGV[3 + count]) == 1 do
  over = over - 1
  count = count - 1
end
-- include finish_push
