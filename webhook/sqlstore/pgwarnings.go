package sqlstore

import "context"

// Warnings says what the settings of the database put at risk; nothing where they
// put nothing at risk, as by default. Errors: those of the database.
func (s *Store) Warnings(ctx context.Context) ([]string, error) {
	db, ok := s.db.(*postgresDB)
	if !ok {
		return nil, nil // SQLite is opened with settings that are safe
	}
	var fsync, commit string
	err := db.do(ctx, func(ctx context.Context, s pgSession) error {
		return s.row(ctx, "SELECT current_setting('fsync'), current_setting('synchronous_commit')").Scan(&fsync, &commit)
	})
	if err != nil {
		return nil, failed("warnings", err)
	}
	var out []string
	if fsync == "off" {
		out = append(out, "fsync is off in PostgreSQL: a crash of its machine may lose the whole database, and with it events that were acknowledged")
	}
	if commit == "off" {
		out = append(out, "synchronous_commit is off in PostgreSQL: a crash of the server forgets the last steps, and with them events that were acknowledged or done")
	}
	return out, nil
}
