package flags

// EncodeSnapshot and DecodeSnapshot are the two halves of a snapshot's file.
var (
	EncodeSnapshot = encodeSnapshot
	DecodeSnapshot = decodeSnapshot
)
