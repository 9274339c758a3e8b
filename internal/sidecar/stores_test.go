package sidecar_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/handrail-go/handrail/internal/sidecar"
)

// Poolers are recognized by what they answer; one that the URL tells of is not
// tried.
func TestDatabaseURL(t *testing.T) {
	tests := []struct {
		rule, url string
		simple    bool
		database  string
	}{
		{"plain", "postgres://u:p@h/x", false, "x"},
		{"Prisma with a pooler", "postgresql://u:p@h:6432/x?schema=public&pgbouncer=true&connection_limit=1", true, "x"},
		{"Prisma without a pooler", "postgresql://u:p@h:5432/x?schema=public&pgbouncer=false&connection_limit=1", false, "x"},
		{"Supabase in transaction mode", "postgresql://postgres.ref:p@aws-0-eu-central-1.pooler.supabase.com:6543/postgres", false, "postgres"},
		{"Supabase in transaction mode, for Prisma", "postgresql://postgres.ref:p@aws-0-eu-central-1.pooler.supabase.com:6543/postgres?pgbouncer=true", true, "postgres"},
		{"Neon, pooled", "postgresql://u:p@ep-cool-1-pooler.eu-central-1.aws.neon.tech/neondb?sslmode=require&channel_binding=require", false, "neondb"},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			cfg, err := sidecar.ParseDatabase(tt.url)
			if err != nil {
				t.Fatal(err)
			}
			if simple := cfg.DefaultQueryExecMode == pgx.QueryExecModeSimpleProtocol; simple != tt.simple {
				t.Errorf("simple protocol: %t, want %t", simple, tt.simple)
			}
			if cfg.Database != tt.database || len(cfg.RuntimeParams) != 0 {
				t.Errorf("database %q, parameters %v", cfg.Database, cfg.RuntimeParams)
			}
		})
	}
}
