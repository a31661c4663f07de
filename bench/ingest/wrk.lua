-- Sends the lines of the file $BODIES in turn, and says what came back as one line of JSON. With
-- $STRANGE no two of them have the same head.
local requests, at = {}, 0

function init()
  wrk.method = 'POST'
  wrk.headers['Content-Type'] = 'application/json'
  for body in io.lines(os.getenv('BODIES')) do
    if os.getenv('STRANGE') then wrk.headers['X-Request-Id'] = string.format('%016d', #requests) end
    requests[#requests + 1] = wrk.format(nil, nil, nil, body)
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary)
  local e = summary.errors
  io.write(string.format('{"requests": %d, "microseconds": %d, "refused": %d, "broken": %d}\n',
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout))
end
