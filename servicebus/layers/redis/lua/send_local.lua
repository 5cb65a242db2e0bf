-- send_local(inbox, counts; capacity, ttl_ms, local, frame...) -> pushed
--   KEYS[1]  list     the inbox of a process
--   KEYS[2]  hash     local name -> messages sent to it and not yet taken by its consumer, same slot
--   ARGV[1]  capacity messages the process-local channel may hold
--   ARGV[2]  ttl_ms   both keys live this long at least
--   ARGV[3]  local    the channel's local name
--   ARGV[4…] frames   pushed in order, as many as there is room for
local count = #ARGV - 3
local held = redis.call('HINCRBY', KEYS[2], ARGV[3], count)
if held > tonumber(ARGV[1]) then
  -- Full: nobody may be reading. What has expired at the head of the inbox takes no room, whosever it is. A frame begins
  -- with the array's mark, its fence, its expiry and its local name; words to the process ('+') and bundles stay.
  -- At most 512 go at once: a script that drops thousands would keep the server from its other clients.
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  for _ = 1, 512 do
    local oldest = redis.call('LINDEX', KEYS[1], 0)
    local known, _, _, expires, name = pcall(cmsgpack.unpack_limit, oldest or '', 3, 1)
    if not oldest or not known or type(expires) ~= 'number' or expires > now then
      break
    end
    if type(name) ~= 'string' or name:sub(1, 1) == '+' then
      break
    end
    redis.call('LPOP', KEYS[1])
    if name:sub(1, 1) ~= '*' and redis.call('HINCRBY', KEYS[2], name, -1) <= 0 then
      redis.call('HDEL', KEYS[2], name)
    end
  end
  held = tonumber(redis.call('HGET', KEYS[2], ARGV[3]) or 0)
  local over = held - tonumber(ARGV[1])
  if over > 0 then
    if over > count then
      over = count
    end
    redis.call('HINCRBY', KEYS[2], ARGV[3], -over)
    count = count - over
  end
  if count == 0 then
    return 0
  end
end
local length = redis.call('RPUSH', KEYS[1], unpack(ARGV, 4, 3 + count))
-- pcall: an error answer means that nothing was pushed, so nothing may fail from here on.
local ttl = length > count and redis.pcall('PTTL', KEYS[1]) or -1
if type(ttl) == 'number' and ttl < tonumber(ARGV[2]) then
  redis.pcall('PEXPIRE', KEYS[1], ARGV[2])
end
ttl = redis.pcall('PTTL', KEYS[2])
if type(ttl) == 'number' and ttl < tonumber(ARGV[2]) then
  redis.pcall('PEXPIRE', KEYS[2], ARGV[2])
end
return count
