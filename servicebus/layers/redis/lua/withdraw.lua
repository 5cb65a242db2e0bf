-- withdraw(list; frame...) -> 1 or 0 for each: removed, or not there
--   KEYS[1]  list    a channel's frames
--   ARGV     frames  each exactly as it was pushed, and pushed once
-- LREM reads the whole list for a frame that is not there, so many frames are looked up in one reading first: by those
-- who may read what others have sent.
local here = nil
if #ARGV > 8 and redis.acl_check_cmd('LRANGE', KEYS[1], 0, -1) then
  here = {}
  for _, frame in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
    here[frame] = true
  end
end
local removed = {}
for at, frame in ipairs(ARGV) do
  if here and not here[frame] then
    removed[at] = 0
  else
    removed[at] = redis.call('LREM', KEYS[1], 1, frame)
  end
end
return removed
