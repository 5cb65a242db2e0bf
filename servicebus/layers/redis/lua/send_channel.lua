-- send_channel(list, held; capacity, ttl_ms, local, frame...) -> pushed
--   KEYS[1]  list     a channel's frames, oldest first
--   KEYS[2]  hash     process -> "n:until", as written by take, same slot
--   ARGV[1]  capacity messages the channel may hold: those in the list, and those taken and not yet handed over
--   ARGV[2]  ttl_ms   the list lives this long at least
--   ARGV[3]  local    not used: such a channel has none
--   ARGV[4…] frames   pushed in order, as many as there is room for
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local room = tonumber(ARGV[1]) - redis.call('LLEN', KEYS[1])
local held = redis.call('HVALS', KEYS[2])
for _, value in ipairs(held) do
  local n, till = value:match('(%d+):(%d+)')
  if tonumber(till) > now then
    room = room - tonumber(n)
  end
end
local count = #ARGV - 3
while count > room do
  -- Full: what has expired at its head takes no room. A frame begins with the array's mark, its fence and its expiry.
  local oldest = redis.call('LINDEX', KEYS[1], 0)
  local known, _, _, expires = pcall(cmsgpack.unpack_limit, oldest or '', 2, 1)
  if not oldest or not known or type(expires) ~= 'number' or expires > now then
    break
  end
  redis.call('LPOP', KEYS[1])
  room = room + 1
end
if count > room then
  count = room
end
if count <= 0 then
  return 0
end
redis.call('RPUSH', KEYS[1], unpack(ARGV, 4, 3 + count))
-- pcall: an error answer means that nothing was pushed, so nothing may fail from here on.
local ttl = redis.pcall('PTTL', KEYS[1])
if type(ttl) == 'number' and ttl < tonumber(ARGV[2]) then
  redis.pcall('PEXPIRE', KEYS[1], ARGV[2])
end
return count
