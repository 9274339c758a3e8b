package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// sampleApp is an app behind exec. It tells what happens to it on stderr, which
// it shares with handrail. Modes:
//
//	exit7      ends at once with code 7
//	environ    prints its environment, without values of PATH, and ends
//	killed     ends by SIGKILL
//	touch      leaves a file named "started" and ends
//	serve      listens on $HOST:$PORT; ends with code 3 on SIGTERM
//	late       the same, once somebody writes to the FIFO "gate"
//	stubborn   the same, but ignores SIGTERM
//	family     the same, with a stubborn grandchild in its process group
func sampleApp(mode string) int {
	switch mode {
	case "exit7":
		return 7
	case "environ":
		environ := os.Environ()
		slices.Sort(environ)
		fmt.Println(strings.Join(environ, "\n"))
		return 0
	case "killed":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "touch":
		if err := os.WriteFile("started", nil, 0o600); err != nil {
			return 98
		}
		return 0
	case "late":
		if _, err := os.ReadFile("gate"); err != nil {
			tell("gate: %v", err)
			return 98
		}
	case "family":
		grandchild := exec.Command("/proc/self/exe", "stubborn")
		grandchild.Args[0] = "sampleapp"
		grandchild.Env = append(os.Environ(), "SAMPLEAPP=stubborn", "PORT=0")
		grandchild.Stderr = os.Stderr
		if err := grandchild.Start(); err != nil {
			tell("grandchild: %v", err)
			return 98
		}
	case "serve", "stubborn":
	default:
		tell("unknown mode %s", mode)
		return 99
	}
	return serveApp(mode == "stubborn")
}

func tell(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "app "+strconv.Itoa(os.Getpid())+": "+format+"\n", args...)
}

// serveApp answers until SIGTERM. /slow answers when somebody writes to the
// FIFO "gate"; /exit ends the app with a code.
func serveApp(stubborn bool) int {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH, syscall.SIGQUIT, os.Interrupt)
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", r.Method, r.URL.RequestURI())
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, _ *http.Request) {
		tell("slow request")
		if _, err := os.ReadFile("gate"); err != nil {
			tell("gate: %v", err)
		}
		fmt.Fprint(w, "whole")
	})
	mux.HandleFunc("/exit", func(_ http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(r.FormValue("code"))
		os.Exit(code)
	})
	server := &http.Server{Addr: os.Getenv("HOST") + ":" + os.Getenv("PORT"), Handler: mux}
	go func() {
		if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			tell("%v", err)
			os.Exit(97)
		}
	}()
	tell("started")
	for sig := range signals {
		tell("got %v", sig)
		if sig == syscall.SIGTERM && !stubborn {
			break
		}
	}
	_ = server.Shutdown(context.Background())
	return 3
}
