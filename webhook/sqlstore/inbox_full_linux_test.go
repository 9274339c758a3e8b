package sqlstore_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/handrail-go/handrail/webhook"
)

// diskVariable names the folder where a process mounts a small disk.
const diskVariable = "HANDRAIL_TEST_DISK"

// A real disk, of memory, in a mount namespace of its own.
func TestPutOnAFullDiskKeepsNothing(t *testing.T) {
	if dir := os.Getenv(diskVariable); dir != "" {
		onSmallDisk(t, dir)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPutOnAFullDiskKeepsNothing$", "-test.v")
	cmd.Env = append(os.Environ(), diskVariable+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	switch {
	case cmd.ProcessState == nil:
		t.Skipf("the system makes no namespaces for this user: %v", err)
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("%s", out)
	}
}

func onSmallDisk(t *testing.T, dir string) {
	if err := syscall.Mount("handrail", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("the system mounts nothing for this user: %v", err)
	}
	defer func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }()
	path, ballast := filepath.Join(dir, "d.sqlite"), filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 512<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	kept := fillUp(t, s, "full", 100<<10)
	there(t, s, kept)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	c, err := s.Put(t.Context(), "r/after", webhook.Stored{Route: "r", Body: make([]byte, 10<<10)}, claimRequest)
	if err != nil || c.Status != webhook.Accepted {
		t.Fatalf("once there is room: %v, %v", c.Status, err)
	}
	there(t, s, kept)
	whole(t, path, len(kept)+1)
}
