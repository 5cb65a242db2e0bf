-- withdraw(list, pushed, withdrawn; ttl_ms, number, frame, number, frame...) -> for each 1, 0 or 2
--   1: taken back; 0: not there; 2: not looked for yet, because that would keep the server busy for too long
--   KEYS[1]  list    a channel's frames
--   KEYS[2]  string  how many frames were pushed to the list, as written by send, same slot
--   KEYS[3]  zset    the numbers of what was withdrawn: n scored n for a tombstone, -n scored -n for a gap
--   ARGV[1]  ttl_ms  the zset lives this long at least
--   ARGV[2…] pairs   the number that send gave a frame, 0 when it is not known, and the frame exactly as it was pushed
-- include tombstone
local ENDS = 512 -- frames that are looked through at each end of the list, for one that is not in its place
local WORK = 60000 -- frames that the server compares in most of a millisecond
local EACH = 400 -- the same for what every frame costs, wherever it lies
local SKIPPED = 40 -- frames that are skipped in the time in which one is compared
local RUN = 128 -- tombstones that are removed from an end of the list at once
local ROUNDS = 32 -- times that this is done
local FORGET = 512 -- numbers that are forgotten at once

-- Who may not look at what others have sent finds a frame by its bytes, and takes it out of the list by its bytes.
local may_look = redis.acl_check_cmd('LINDEX', KEYS[1], 0)
  and redis.acl_check_cmd('LSET', KEYS[1], 0, TOMBSTONE)
  and redis.acl_check_cmd('LTRIM', KEYS[1], 0, -1)
local length = redis.call('LLEN', KEYS[1])
local pushed = tonumber(redis.call('GET', KEYS[2]) or 0)
local gaps = redis.call('ZCOUNT', KEYS[3], '-inf', '(0')
local work = 0

local function among(frame, rank, count)
  work = work + math.min(count, length)
  return redis.call('LPOS', KEYS[1], frame, 'RANK', rank, 'MAXLEN', count) or nil
end

-- The place that a number means, counted from 0 at the head; below 0 when the frame has left the list.
local function expected(number)
  local behind = pushed - number
  if gaps > 0 then
    behind = behind - redis.call('ZCOUNT', KEYS[3], -pushed, '(' .. -number)
  end
  return length - 1 - behind
end

-- Returns the place of a frame and its number, or nil.
local function find(number, frame)
  if number > 0 and number <= pushed then
    local place = expected(number)
    if place < 0 then
      return nil
    end
    local from_tail = length - place
    if may_look then
      work = work + math.min(place, from_tail) / SKIPPED
      if redis.call('LINDEX', KEYS[1], place) == frame then
        return place, number
      end
    else
      local found
      if place < from_tail then
        found = among(frame, 1, place + 1)
      else
        found = among(frame, -1, from_tail)
      end
      if found then
        return found, number
      end
    end
  end
  local place = among(frame, -1, ENDS) or (length > ENDS and among(frame, 1, ENDS) or nil)
  return place, place and pushed - (length - 1 - place)
end

local function enter(number)
  if number ~= 0 then
    redis.call('ZADD', KEYS[3], 0, '', number, number)
  end
end

local answers = {}
for at = 2, #ARGV, 2 do
  local is_too_much, place, number = work > WORK, nil, nil
  work = work + EACH
  if length > 0 and not is_too_much then
    place, number = find(tonumber(ARGV[at]), ARGV[at + 1])
  end
  if place and may_look then
    redis.call('LSET', KEYS[1], place, TOMBSTONE)
    enter(math.max(number, 0))
  elseif place then
    work = work + math.min(place, length - place)
    redis.call('LREM', KEYS[1], place < length - place and 1 or -1, ARGV[at + 1])
    enter(-math.max(number, 0))
    length, gaps = length - 1, gaps + 1
  end
  answers[#answers + 1] = is_too_much and 2 or place and 1 or 0
end

-- Tombstones at the ends of the list go. None is left at the tail whose number a new frame could get.
for _ = 1, may_look and ROUNDS or 0 do
  local found, run = redis.call('LPOS', KEYS[1], TOMBSTONE, 'RANK', 1, 'COUNT', 0, 'MAXLEN', RUN), 0
  while found[run + 1] == run do
    run = run + 1
  end
  if run > 0 then
    redis.call('LTRIM', KEYS[1], run, -1)
    length = length - run
  end
  if run < RUN then
    break
  end
end
for _ = 1, may_look and gaps == 0 and ROUNDS or 0 do
  local found, run = redis.call('LPOS', KEYS[1], TOMBSTONE, 'RANK', -1, 'COUNT', 0, 'MAXLEN', RUN), 0
  while found[run + 1] == length - 1 - run do
    run = run + 1
  end
  if run == 0 or run > pushed then
    break
  end
  redis.call('LTRIM', KEYS[1], 0, -run - 1)
  redis.call('ZREMRANGEBYSCORE', KEYS[3], pushed - run + 1, pushed)
  pushed, length = redis.call('DECRBY', KEYS[2], run), length - run
end
-- So do the numbers below that of the oldest frame, a few at a time. Between those of gaps and of tombstones is 0.
gaps = redis.call('ZCOUNT', KEYS[3], '-inf', '(0')
local oldest = pushed - length + 1 - gaps
local gone = redis.call('ZCOUNT', KEYS[3], 1, oldest - 1)
if gone > 0 then
  redis.call('ZREMRANGEBYRANK', KEYS[3], gaps + 1, gaps + math.min(gone, FORGET))
end
gone = gaps > 0 and redis.call('ZCOUNT', KEYS[3], '(' .. -oldest, '(0') or 0
if gone > 0 then
  redis.call('ZREMRANGEBYRANK', KEYS[3], gaps - math.min(gone, FORGET), gaps - 1)
end
if redis.call('PTTL', KEYS[3]) < tonumber(ARGV[1]) then
  redis.call('PEXPIRE', KEYS[3], ARGV[1])
end
return answers
