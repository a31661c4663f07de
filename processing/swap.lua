-- Put the numbers that were counted beside the live ones in their place, or change nothing.
--
-- KEYS: hold, then as many pairs as there are logs (live marker, new marker), then pairs
-- (new key, live key), then keys to drop, then hashes whose `revision` grows, then the steps.
-- ARGV: the hold's token, number of logs, of pairs, of keys to drop, then of each live key that is
-- a step: when it may be dropped (ms), its name.
-- Returns 1, or 0 when the hold is over or the new numbers do not reach as far as the live ones.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local logs, pairs_, drops = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local at = 2

local function same(live, new)
  local fields = redis.call('HGETALL', live)
  for i = 1, #fields, 2 do
    if (redis.call('HGET', new, fields[i]) or '0') ~= fields[i + 1] then return false end
  end
  return redis.call('HLEN', new) <= #fields / 2
end

for _ = 1, logs do
  if not same(KEYS[at], KEYS[at + 1]) then return 0 end
  at = at + 2
end
for _ = 1, pairs_ do
  if redis.call('EXISTS', KEYS[at]) == 1 then
    redis.call('RENAME', KEYS[at], KEYS[at + 1])
  else
    redis.call('UNLINK', KEYS[at + 1])
  end
  at = at + 2
end
for _ = 1, drops do
  redis.call('UNLINK', KEYS[at])
  at = at + 1
end
for i = 5, #ARGV, 2 do redis.call('ZADD', KEYS[#KEYS], ARGV[i], ARGV[i + 1]) end
for i = at, #KEYS - 1 do redis.call('HINCRBY', KEYS[i], 'revision', 1) end
redis.call('DEL', KEYS[1])
return 1
