package awsauth

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestServe(t *testing.T) {
	p := newPod(t, chainConfig)
	k := p.keeper(t)
	h := k.Handler()
	get := func(path string) (int, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		body, _ := io.ReadAll(w.Result().Body)
		return w.Code, string(body)
	}
	code, _ := get("/healthz")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.NoError(t, k.Once(t.Context()))
	code, _ = get("/healthz")
	require.Equal(t, http.StatusOK, code)
	_, body := get("/metrics")
	require.Contains(t, body, `footman_awsauth_calls_total{kind="web_identity",code="ok"} 1`)
	_, body = get("/status")
	require.Contains(t, body, `"state":"fresh"`)
	require.NotContains(t, body, secretMark)

	ctx, cancel := context.WithCancel(t.Context())
	require.ErrorContains(t, k.Serve(ctx, "256.0.0.1:1"), "--http")
	require.NoError(t, k.Serve(ctx, "127.0.0.1:0"))
	cancel()
}
