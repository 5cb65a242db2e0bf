-- leave(members; member) -> members left
--   KEYS[1]  zset    as written by register
--   ARGV[1]  member  a worker ID
redis.call('ZREM', KEYS[1], ARGV[1])
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
if last then
  -- The set ends with the last registration in it, so that one of a dead worker does not outlive its time.
  redis.call('PEXPIREAT', KEYS[1], last)
end
return redis.call('ZCARD', KEYS[1])
