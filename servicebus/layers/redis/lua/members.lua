-- members(members) -> array of members whose registration holds
--   KEYS[1]  zset  as written by register
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZRANGE', KEYS[1], '(' .. now, '+inf', 'BYSCORE')
