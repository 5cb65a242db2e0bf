-- send(list, workers, pushed, withdrawn; capacity, ttl_ms, needs_worker, frame...) -> pushed; {pushed, number} with KEYS[3]
--   KEYS[1]  list     the channel's frames, oldest first
--   KEYS[2]  zset     the channel's workers, same slot
--   KEYS[3]  string   how many frames were pushed to the list; left out for an inbox, whose frames are not numbered
--   KEYS[4]  zset     the numbers of the tombstones in the list
--   ARGV[1]  capacity messages the channel may hold
--   ARGV[2]  ttl_ms   the keys live this long at least
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
if over > 0 and KEYS[3] then
-- include room
  over = over - math.min(tombstones(length - count, KEYS[3], KEYS[4]), tonumber(ARGV[1]))
  if over > 0 then
    over = over - drop_expired(KEYS[1], math.min(over, count), 1000)
  end
end
-- By value, from the tail: who may push to a channel need not be allowed to pop from it. What stays counts as pushed.
while over > 0 and count > 0 and redis.pcall('LREM', KEYS[1], -1, ARGV[3 + count]) == 1 do
  over = over - 1
  count = count - 1
end
-- include finish_push
