-- Which ids are there. KEYS: the sets; ARGV[1]: msgpack, for each of them the ids to look for.
-- Returns for each set those of them that it holds.
local CHUNK = 2000
local found = {}
for n, ids in ipairs(cmsgpack.unpack(ARGV[1])) do
  local there = {}
  if redis.call('EXISTS', KEYS[n]) == 1 then
    for i = 1, #ids, CHUNK do
      local last = math.min(i + CHUNK - 1, #ids)
      for k, is_there in ipairs(redis.call('SMISMEMBER', KEYS[n], unpack(ids, i, last))) do
        if is_there == 1 then there[#there + 1] = ids[i + k - 1] end
      end
    end
  end
  found[n] = there
end
return found
