package health_test

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
)

// driver stands for a real database's in the Example.
type driver struct{}

func (driver) Connect(context.Context) (sqldriver.Conn, error) { return nil, errors.New("no database") }
func (driver) Driver() sqldriver.Driver                        { return nil }
