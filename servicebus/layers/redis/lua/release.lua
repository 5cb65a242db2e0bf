-- release(held; process, n)
--   KEYS[1]  hash     as written by take
--   ARGV[1]  process  who took the frames
--   ARGV[2]  n        how many of them it has handed over
-- include release_held
release_held(KEYS[1], ARGV[1], ARGV[2])
