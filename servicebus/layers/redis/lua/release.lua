-- release(held; process, n)
--   KEYS[1]  hash     as written by take
--   ARGV[1]  process  who took the frames
--   ARGV[2]  n        how many of them it has handed over
local n, till = (redis.call('HGET', KEYS[1], ARGV[1]) or '0:0'):match('(%d+):(%d+)')
local held = tonumber(n) - tonumber(ARGV[2])
if held > 0 then
  redis.call('HSET', KEYS[1], ARGV[1], string.format('%d:%s', held, till))
else
  redis.call('HDEL', KEYS[1], ARGV[1])
end
