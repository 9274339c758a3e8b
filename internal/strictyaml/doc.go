// Package strictyaml decodes YAML and JSON files strictly: unknown keys, wrong
// types, duplicate keys and bad values are reported all at once, each with
// file, line and column. Messages never hold a value of the file, since it may
// be a secret or come from one.
package strictyaml
