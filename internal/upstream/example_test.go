package upstream_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/handrail-go/handrail/internal/upstream"
)

func Example() {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s for %s", r.URL, r.Host)
	}))
	defer app.Close()

	proxy, err := upstream.New(upstream.Config{URL: app.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer proxy.CloseIdle()

	w := httptest.NewRecorder()
	proxy.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://shop.example/cart?id=7", nil))
	body, _ := io.ReadAll(w.Body)
	fmt.Println(w.Code, string(body))
	// Output: 200 /cart?id=7 for shop.example
}
