package sqlstore

import "context"

// WritePragma is the value of a PRAGMA on the connection that writes.
func (s *Store) WritePragma(ctx context.Context, name string) (string, error) {
	var value string
	err := s.write.QueryRowContext(ctx, "PRAGMA "+name).Scan(&value)
	return value, err
}
