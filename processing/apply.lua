-- Apply what one batch of one partition changes in one shard, or nothing of it.
--
-- KEYS: marker, ledger, clock, steps, hold, then every key that ARGV[1] names by number.
-- ARGV[1]: msgpack map:
--   partition, expected, next   the marker must be `expected` and becomes `next`
--   clock                       arrival (ms) up to which the partition was read
--   ledger   {category, n, …}
--   absent   {{key, {id, …}}, …} ids that must not be there yet
--   ids      {{key, end of step (ms), {id, …}}, …}
--   most     values of a dimension that a bucket keeps
--   buckets  {{key, expire at (Unix s; 0: never), {field, …}, {n, …}}, …}, which are kept bounded
--   hashes   {{key, expire at, {field, n, …}}, …}
--   visitors {{key, expire at, {visitor, …}}, …}
--   pages    {{key, expire at, {visitor, …}, bucket, page}, …} if the page is kept in the bucket
--   visits   {{key, may be dropped at (ms), {visitor, was, is, …}}, …}; "": none
--   now      {{pages, referrers, countries, sorted set, forget before (ms),
--              {visitor, arrival, path, referrer, country, …}}, …}
--   feed     {{key, {arrival, event, …}}, …}
--   duplicates {{key, first, last offset}, …} in the order of the log
--   states   {{key, last arrival, last ts}, …}
-- Returns {"applied", next}, {"moved", the marker found} or {"known", key}: an id that the
-- caller took for new is there by now, or a visit went on, so the caller looks again; or {"held", 0}: the numbers
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

for _, looked in ipairs(b.visits) do
  local key, visits = KEYS[looked[1]], looked[3]
  local visitors = {}
  for i = 1, #visits, 3 do visitors[#visitors + 1] = visits[i] end
  local changed = false
  in_chunks(visitors, function(i, j)
    for k, found_one in ipairs(redis.call('HMGET', key, unpack(visitors, i, j))) do
      if (found_one or '') ~= visits[3 * (i + k - 1) - 1] then changed = true end
    end
  end)
  if changed then return {'known', key} end
end

local function expire(key, at)
  if at > 0 then redis.call('EXPIREAT', key, at) end
end

-- Fields that are no value of a dimension (processing/dimensions.py): totals, seconds, all other
-- values, the most that a value may have missed, what one has, by the character they begin with.
local NO_VALUE = {['*'] = true, ['@'] = true, ['~'] = true, ['^'] = true, ['!'] = true}

local function whole(n) return string.format('%.0f', n) end

-- Many fields at once, as one call takes longer than what it does to a field.
local function set(key, pairs_)
  in_chunks(pairs_, function(i, j) redis.call('HSET', key, unpack(pairs_, i, j)) end)
end

-- Add to a bucket. What is taken away from a value that was dropped goes off all others.
local function count(key, fields, changes)
  local was_full, changed, others = redis.call('HEXISTS', key, '^') == 1, {}, {}
  local missed = {}
  in_chunks(fields, function(i, j)
    for k, before in ipairs(redis.call('HMGET', key, unpack(fields, i, j))) do
      local field, n = fields[i + k - 1], changes[i + k - 1]
      local kind, now = field:sub(1, 1), (tonumber(before) or 0) + n
      if n < 0 and now <= 0 and not NO_VALUE[kind] then
        redis.call('HDEL', key, field, '!' .. field)
        if now < 0 then others['~' .. kind] = (others['~' .. kind] or 0) + now end
      else
        changed[#changed + 1], changed[#changed + 2] = field, whole(now)
        if was_full and not before and not NO_VALUE[kind] then
          if missed[kind] == nil then missed[kind] = redis.call('HGET', key, '^' .. kind) end
          if missed[kind] then
            changed[#changed + 1], changed[#changed + 2] = '!' .. field, missed[kind]
          end
        end
      end
    end
  end)
  set(key, changed)
  for other, n in pairs(others) do redis.call('HINCRBY', key, other, n) end
end

-- What of a bucket is a value: by kind the fields, by field the most it may have had.
local function ranks_of(all)
  local ranks, kinds = {}, {}
  for i = 1, #all, 2 do
    local field, kind = all[i], all[i]:sub(1, 1)
    if kind == '!' then
      field = field:sub(2)
    elseif not NO_VALUE[kind] then
      kinds[kind] = kinds[kind] or {}
      table.insert(kinds[kind], field)
    end
    ranks[field] = (ranks[field] or 0) + tonumber(all[i + 1])
  end
  return kinds, ranks
end

-- The `b.most` highest ranks stay; returns the fields that go and the highest of their ranks.
-- Numbers alone are sorted: a function that compares fields takes five times as long.
local function lowest(fields, ranks)
  local sorted, lower, equal = {}, {}, {}
  for i, field in ipairs(fields) do sorted[i] = ranks[field] end
  table.sort(sorted)
  local excess = #fields - b.most
  local least_kept, most_dropped = sorted[excess + 1], sorted[excess]
  for _, field in ipairs(fields) do
    if ranks[field] < least_kept then
      lower[#lower + 1] = field
    elseif ranks[field] == least_kept then
      equal[#equal + 1] = field
    end
  end
  for i = 1, excess - #lower do lower[#lower + 1] = equal[i] end
  return lower, most_dropped
end

-- Keep the `b.most` values of each dimension that may be the most frequent ones (SPEC.md §20).
local function prune(key)
  local kinds, ranks = ranks_of(redis.call('HGETALL', key))
  for kind, fields in pairs(kinds) do
    if #fields > b.most then
      local dropped, most = lowest(fields, ranks)
      local others, marks = 0, {}
      for i, field in ipairs(dropped) do marks[i] = '!' .. field end
      in_chunks(dropped, function(i, j)
        for _, n in ipairs(redis.call('HMGET', key, unpack(dropped, i, j))) do
          others = others + tonumber(n)
        end
        redis.call('HDEL', key, unpack(dropped, i, j))
        redis.call('HDEL', key, unpack(marks, i, j))
      end)
      redis.call('HINCRBY', key, '~' .. kind, others)
      local missed = tonumber(redis.call('HGET', key, '^' .. kind) or '0')
      redis.call('HSET', key, '^' .. kind, whole(math.max(most, missed)))
      if kind == '/' and key:match(':d:%d+$') then
        -- Named by their bucket, so they lie in the same slot.
        for _, page in ipairs(dropped) do redis.call('UNLINK', key .. ':v:' .. page) end
      end
    end
  end
  redis.call('HSET', key, '^', redis.call('HLEN', key) + b.most)
end

for _, step in ipairs(b.ids) do
  in_chunks(step[3], function(i, j) redis.call('SADD', KEYS[step[1]], unpack(step[3], i, j)) end)
  redis.call('ZADD', KEYS[4], step[2], KEYS[step[1]])
end
local remembered = {}
for _, step in ipairs(b.visits) do
  local key, visits, go_on = KEYS[step[1]], step[3], {}
  for i = 1, #visits, 3 do
    if visits[i + 2] == '' then
      redis.call('HDEL', key, visits[i])
    elseif visits[i + 2] ~= visits[i + 1] then
      go_on[#go_on + 1], go_on[#go_on + 2] = visits[i], visits[i + 2]
    end
  end
  set(key, go_on)
  if #go_on > 0 then remembered[key] = step[2] end
end
for key, may_go in pairs(remembered) do redis.call('ZADD', KEYS[4], may_go, key) end
for _, bucket in ipairs(b.buckets) do
  local key = KEYS[bucket[1]]
  count(key, bucket[3], bucket[4])
  if redis.call('HLEN', key) > tonumber(redis.call('HGET', key, '^') or b.most) then prune(key) end
  expire(key, bucket[2])
end
for _, hash in ipairs(b.hashes) do
  local key, changes = KEYS[hash[1]], hash[3]
  for i = 1, #changes, 2 do redis.call('HINCRBY', key, changes[i], changes[i + 1]) end
  expire(key, hash[2])
end
local function see(log)
  local key, visitors = KEYS[log[1]], log[3]
  in_chunks(visitors, function(i, j) redis.call('PFADD', key, unpack(visitors, i, j)) end)
  expire(key, log[2])
end
for _, log in ipairs(b.visitors) do see(log) end
local is_full = {}
for _, log in ipairs(b.pages) do
  local bucket = KEYS[log[4]]
  if is_full[bucket] == nil then is_full[bucket] = redis.call('HEXISTS', bucket, '^') == 1 end
  if not is_full[bucket] or redis.call('HEXISTS', bucket, log[5]) == 1 then see(log) end
end
for _, now in ipairs(b.now) do
  local hashes, seen, before = {KEYS[now[1]], KEYS[now[2]], KEYS[now[3]]}, KEYS[now[4]], now[5]
  local visitors, arrivals, values = now[6], now[7], {now[8], now[9], now[10]}
  local newest, changed = {}, {{}, {}, {}}
  in_chunks(visitors, function(i, j)
    for k, last in ipairs(redis.call('ZMSCORE', seen, unpack(visitors, i, j))) do
      local n = i + k - 1
      if arrivals[n] >= tonumber(last or '0') then
        newest[#newest + 1], newest[#newest + 2] = arrivals[n], visitors[n]
        for h, list in ipairs(changed) do
          -- Who goes on to the next page keeps where he came from.
          if values[h][n] ~= '' then list[#list + 1], list[#list + 2] = visitors[n], values[h][n] end
        end
      end
    end
  end)
  in_chunks(newest, function(i, j) redis.call('ZADD', seen, unpack(newest, i, j)) end)
  for h, hash in ipairs(hashes) do set(hash, changed[h]) end
  local gone = redis.call('ZRANGE', seen, '-inf', '(' .. string.format('%.0f', before), 'BYSCORE')
  in_chunks(gone, function(i, j)
    redis.call('ZREM', seen, unpack(gone, i, j))
    for _, hash in ipairs(hashes) do redis.call('HDEL', hash, unpack(gone, i, j)) end
  end)
  for _, key in ipairs({seen, unpack(hashes)}) do redis.call('EXPIRE', key, 600) end
end
for _, feed in ipairs(b.feed) do
  local key = KEYS[feed[1]]
  in_chunks(feed[2], function(i, j) redis.call('ZADD', key, unpack(feed[2], i, j)) end)
  redis.call('ZREMRANGEBYRANK', key, 0, -51)
  redis.call('EXPIRE', key, 86400)
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
