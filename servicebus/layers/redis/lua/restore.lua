-- restore(list, held; ttl_ms, process, n, frame...) -> length
--   KEYS[1]  list     a channel's frames
--   KEYS[2]  hash     as written by take, same slot
--   ARGV[1]  ttl_ms   the list lives this long at least
--   ARGV[2]  process  who took the frames
--   ARGV[3]  n        how many of them count as held
--   ARGV[4…] frames   taken from its head and not delivered, newest first; they go back there
-- include release_held
local length = redis.call('LPUSH', KEYS[1], unpack(ARGV, 4))
if redis.pcall('PTTL', KEYS[1]) < tonumber(ARGV[1]) then
  redis.pcall('PEXPIRE', KEYS[1], ARGV[1])
end
release_held(KEYS[2], ARGV[2], ARGV[3])
return length
