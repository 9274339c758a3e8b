-- Makes a delivery to retry dead. Answers as revive.lua does.
if not value then
  return ''
elseif state ~= RETRY then
  return state
end
state = DEAD
keep(now + retention, '')
return 1
