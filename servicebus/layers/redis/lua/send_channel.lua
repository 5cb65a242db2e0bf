-- send_channel(list, held; capacity, ttl_ms, local, frame...) -> pushed
--   KEYS[1]  list     a channel's frames, oldest first
--   KEYS[2]  hash     process -> "n:until", as written by take, same slot
--   ARGV[1]  capacity messages the channel may hold: those in the list, and those taken and not yet handed over
--   ARGV[2]  ttl_ms   the list lives this long at least
--   ARGV[3]  local    not used: such a channel has none
--   ARGV[4…] frames   pushed in order, as many as there is room for
local now = nil
local function instant()
  if not now then
    local time = redis.call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  return now
end
local taken = 0
for _, value in ipairs(redis.call('HVALS', KEYS[2])) do
  local n, till = value:match('(%d+):(%d+)')
  if tonumber(till) > instant() then
    taken = taken + tonumber(n)
  end
end
local count = #ARGV - 3
-- Nobody sees the list before this script ends, so what is too much may be taken off again.
local length = redis.call('RPUSH', KEYS[1], unpack(ARGV, 4))
-- pcall: an error answer means that nothing was pushed, so nothing may fail from here on.
local over = length + taken - tonumber(ARGV[1])
if over > 0 then
-- include room
  -- Full: what has expired at its head takes no room.
  over = over - drop_expired(KEYS[1], over, 0)
end
if over > 0 then
  if over > count then
    over = count
  end
  redis.pcall('RPOP', KEYS[1], over)
  count = count - over
end
-- include finish_push
