-- taken(counts; ttl_ms, local, n, local, n...)
--   KEYS[1]  hash    as written by send_local
--   ARGV[1]  ttl_ms  the hash lives this long at least
--   ARGV[2…] pairs   a local name, and how many of its messages its consumer took; negative: how many more it holds
for at = 2, #ARGV, 2 do
  if redis.call('HINCRBY', KEYS[1], ARGV[at], -tonumber(ARGV[at + 1])) <= 0 then
    redis.call('HDEL', KEYS[1], ARGV[at])
  end
end
if redis.call('PTTL', KEYS[1]) == -1 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
