-- Counts n frames off those that a process has taken from a channel: hash is written by take.
local function release_held(hash, process, count)
  local n, till = (redis.call('HGET', hash, process) or '0:0'):match('(%d+):(%d+)')
  local held = tonumber(n) - tonumber(count)
  if held > 0 then
    redis.call('HSET', hash, process, string.format('%d:%s', held, till))
  else
    redis.call('HDEL', hash, process)
  end
end
