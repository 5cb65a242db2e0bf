-- register(members; member, ttl_ms) -> members left
--   KEYS[1]  zset    member scored with the instant, in ms on the server's clock, when its registration ends
--   ARGV[1]  member  a worker ID, or a channel that subscribes
--   ARGV[2]  ttl_ms  how long the registration holds
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return redis.call('ZCARD', KEYS[1])
