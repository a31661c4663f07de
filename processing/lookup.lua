-- What is there. KEYS: sets, then hashes. ARGV[1], ARGV[2]: msgpack, for each set the members to
-- look for; {{fields, number of hashes}, …}: what is looked for in each of the hashes that follow.
-- Returns msgpack: for each set those of them that it holds, then for each hash the fields' values,
-- '' where there is none, or nothing where there is no hash.
local CHUNK = 2000
local found = {}
local function look(key, names, call, take)
  if redis.call('EXISTS', key) == 0 then return end
  for i = 1, #names, CHUNK do
    local last = math.min(i + CHUNK - 1, #names)
    for k, answer in ipairs(redis.call(call, key, unpack(names, i, last))) do
      take(i + k - 1, answer)
    end
  end
end

local sets, hashes = cmsgpack.unpack(ARGV[1]), cmsgpack.unpack(ARGV[2])
for n, ids in ipairs(sets) do
  local there = {}
  look(KEYS[n], ids, 'SMISMEMBER', function(at, is_there)
    if is_there == 1 then there[#there + 1] = ids[at] end
  end)
  found[n] = there
end
for _, wanted in ipairs(hashes) do
  for _ = 1, wanted[2] do
    local values = {}
    look(KEYS[#found + 1], wanted[1], 'HMGET', function(at, value) values[at] = value or '' end)
    found[#found + 1] = values
  end
end
return cmsgpack.pack(found)
