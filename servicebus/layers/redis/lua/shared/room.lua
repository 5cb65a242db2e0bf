-- What takes no room in a channel that is full.
-- include tombstone
local MOST = 512 -- elements that one call removes

-- How many tombstones lie in a list of this length. Messages leave a list at its head, so a tombstone has left when its
-- number is lower than that of the oldest frame.
local function tombstones(length, pushed, withdrawn)
  local last = tonumber(redis.pcall('GET', pushed) or 0)
  local found = last and redis.pcall('ZCOUNT', withdrawn, math.max(last - length + 1, 1), last)
  return type(found) == 'number' and found or 0
end

-- Removes frames from the head that have expired for ``grace_ms``, at most ``wanted``. Returns how many. Tombstones before
-- them are removed too. A user who may not read the list removes nothing.
local function drop_expired(list, wanted, grace_ms)
  if not redis.acl_check_cmd('LINDEX', list, 0) or not redis.acl_check_cmd('LPOP', list) then
    return 0
  end
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local dropped = 0
  for _ = 1, MOST do
    local oldest = redis.pcall('LINDEX', list, 0)
    if dropped >= wanted or type(oldest) ~= 'string' then
      break
    end
    if oldest ~= TOMBSTONE then
      -- A frame begins with the array's mark, its fence and its expiry.
      local mark = oldest:byte(1)
      local known, _, _, expires = pcall(cmsgpack.unpack_limit, oldest, 2, 1)
      if mark ~= 0x94 and mark ~= 0x95 and mark ~= 0x98 or not known or type(expires) ~= 'number' or expires + grace_ms > now then
        break
      end
      dropped = dropped + 1
    end
    redis.pcall('LPOP', list)
  end
  return dropped
end
