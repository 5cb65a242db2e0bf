-- What stands in a list where a frame was withdrawn: the word in msgpack.
local TOMBSTONE = '\169withdrawn'
