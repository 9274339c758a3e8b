package health

// MemoryIn is Memory with another file system.
var MemoryIn = memory
