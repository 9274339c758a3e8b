package http1

// Pending is what there is to be read on a connection.
type Pending uint8

// Nothing yet; bytes; the end, or an error; or no way to tell.
const (
	Nothing Pending = iota
	Bytes
	End
	Unknown
)
