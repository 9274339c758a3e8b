package adminclient

// Bound has c take no answer longer than so many bytes.
func (c *Client) Bound(most int64) { c.most = most }
