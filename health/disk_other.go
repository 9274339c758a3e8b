//go:build !linux && !darwin

package health

import "errors"

func statDisk(string) (diskUsage, error) { return diskUsage{}, errors.ErrUnsupported }
