-- Apply what one batch of one partition changes in one shard, or nothing of it.
--
-- KEYS: marker, ledger, clock, steps of ids, hold, then every key that ARGV[1] names by number.
-- ARGV[1]: msgpack map:
--   partition, expected, next   the marker must be `expected` and becomes `next`
--   clock                       arrival (ms) up to which the partition was read
--   ledger   {category, n, …}
--   absent   {{key, {id, …}}, …} ids that must not be there yet
--   ids      {{key, end of step (ms), {id, …}}, …}
--   hashes   {{key, expire at (Unix s; 0: never), {field, n, …}}, …}
--   visitors {{key, expire at, {visitor, …}}, …}
--   now      {{sorted set, hash, forget before (ms), {visitor, arrival, path, …}}, …}
--   duplicates {{key, first, last offset}, …} in the order of the log
--   states   {{key, last arrival, last ts}, …}
-- Returns {"applied", next}, {"moved", the marker found} or {"known", key}: an id that the
-- caller took for new is there by now, so the caller looks again; or {"held", 0}: the numbers
-- are being swapped, so the caller tries again in a moment.
local b = cmsgpack.unpack(ARGV[1])
local field = tostring(b.partition)
local found = tonumber(redis.call('HGET', KEYS[1], field) or '0')
if found ~= b.expected then return {'moved', found} end
if redis.call('EXISTS', KEYS[5]) == 1 then return {'held', 0} end

local CHUNK = 2000
local function in_chunks(list, call)
  for i = 1, #list, CHUNK do call(i, math.min(i + CHUNK - 1, #list)) end
end

for _, check in ipairs(b.absent) do
  local key, there = KEYS[check[1]], false
  -- The step to come hardly ever has begun: nothing has to be looked for in it.
  if redis.call('EXISTS', key) == 1 then
    in_chunks(check[2], function(i, j)
      for _, found_one in ipairs(redis.call('SMISMEMBER', key, unpack(check[2], i, j))) do
        if found_one == 1 then there = true end
      end
    end)
  end
  if there then return {'known', key} end
end

local function expire(key, at)
  if at > 0 then redis.call('EXPIREAT', key, at) end
end

for _, step in ipairs(b.ids) do
  in_chunks(step[3], function(i, j) redis.call('SADD', KEYS[step[1]], unpack(step[3], i, j)) end)
  redis.call('ZADD', KEYS[4], step[2], KEYS[step[1]])
end
for _, hash in ipairs(b.hashes) do
  local key, changes = KEYS[hash[1]], hash[3]
  for i = 1, #changes, 2 do redis.call('HINCRBY', key, changes[i], changes[i + 1]) end
  expire(key, hash[2])
end
for _, log in ipairs(b.visitors) do
  local key, visitors = KEYS[log[1]], log[3]
  in_chunks(visitors, function(i, j) redis.call('PFADD', key, unpack(visitors, i, j)) end)
  expire(key, log[2])
end
for _, now in ipairs(b.now) do
  local seen, pages, before, entries = KEYS[now[1]], KEYS[now[2]], now[3], now[4]
  for i = 1, #entries, 3 do
    local last = tonumber(redis.call('ZSCORE', seen, entries[i]) or '0')
    if entries[i + 1] >= last then
      redis.call('ZADD', seen, entries[i + 1], entries[i])
      redis.call('HSET', pages, entries[i], entries[i + 2])
    end
  end
  local gone = redis.call('ZRANGE', seen, '-inf', '(' .. string.format('%.0f', before), 'BYSCORE')
  in_chunks(gone, function(i, j)
    redis.call('ZREM', seen, unpack(gone, i, j))
    redis.call('HDEL', pages, unpack(gone, i, j))
  end)
  redis.call('EXPIRE', seen, 600)
  redis.call('EXPIRE', pages, 600)
end
for n, run in ipairs(b.duplicates) do
  local key, first, last = KEYS[run[1]], run[2], run[3]
  local before = n == 1 and redis.call('ZRANGE', key, -1, -1)[1]
  if before and tonumber(before:match('-(%d+)')) == first - 1 then
    redis.call('ZREM', key, before)
    first = tonumber(before:match('%d+'))
  end
  redis.call('ZADD', key, last, string.format('%.0f-%.0f', first, last))
end
for _, state in ipairs(b.states) do
  local key = KEYS[state[1]]
  redis.call('HINCRBY', key, 'revision', 1)
  for i, name in ipairs({'last_received', 'last_ts'}) do
    if state[i + 1] > tonumber(redis.call('HGET', key, name) or '0') then
      redis.call('HSET', key, name, string.format('%.0f', state[i + 1]))
    end
  end
end
for i = 1, #b.ledger, 2 do
  redis.call('HINCRBY', KEYS[2], field .. ':' .. b.ledger[i], b.ledger[i + 1])
end
if b.clock > tonumber(redis.call('HGET', KEYS[3], field) or '0') then
  redis.call('HSET', KEYS[3], field, string.format('%.0f', b.clock))
end
redis.call('HSET', KEYS[1], field, string.format('%.0f', b.next))
return {'applied', b.next}
