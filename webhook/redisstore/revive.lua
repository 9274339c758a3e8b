-- Makes a dead delivery one to retry. Answers 1, else the state that it is in, as
-- text; empty when there is none.
if not value then
  return ''
elseif state ~= DEAD then
  return state
end
state, maybe, attempt = RETRY, '1', '0'
keep(now + retention, '')
return 1
