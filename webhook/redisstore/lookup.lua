-- Answers the delivery; empty when there is none.
return value or ''
