-- What is there. KEYS: sets, then hashes. ARGV[1], ARGV[2]: msgpack, for each set the members and
-- for each hash the fields to look for.
-- Returns for each set those of them that it holds, then for each hash {field, value, …} likewise.
local CHUNK = 2000
local found = {}
local function look(n, names, call, take)
  local there = {}
  if redis.call('EXISTS', KEYS[n]) == 1 then
    for i = 1, #names, CHUNK do
      local last = math.min(i + CHUNK - 1, #names)
      for k, answer in ipairs(redis.call(call, KEYS[n], unpack(names, i, last))) do
        take(there, names[i + k - 1], answer)
      end
    end
  end
  found[n] = there
end

local sets, hashes = cmsgpack.unpack(ARGV[1]), cmsgpack.unpack(ARGV[2])
for n, ids in ipairs(sets) do
  look(n, ids, 'SMISMEMBER', function(there, id, is_there)
    if is_there == 1 then there[#there + 1] = id end
  end)
end
for n, fields in ipairs(hashes) do
  look(#sets + n, fields, 'HMGET', function(there, field, value)
    if value then
      there[#there + 1] = field
      there[#there + 1] = value
    end
  end)
end
return found
