-- take(list, held; most, process, hold_ms) -> array of frames, oldest first
--   KEYS[1]  list     a channel's frames
--   KEYS[2]  hash     process -> "n:until": how many frames it has taken and not yet handed over, and the instant, in ms
--                     on the server's clock, until which they count
--   ARGV[1]  most     frames to take
--   ARGV[2]  process  who takes them
--   ARGV[3]  hold_ms  how long they count, unless it takes again
local frames = redis.call('LPOP', KEYS[1], ARGV[1])
if not frames then
  return {}
end
local time = redis.call('TIME')
local till = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[3])
local held = tonumber((redis.call('HGET', KEYS[2], ARGV[2]) or '0:0'):match('%d+')) + #frames
redis.call('HSET', KEYS[2], ARGV[2], string.format('%d:%d', held, till))
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return frames
