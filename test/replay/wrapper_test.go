package replay

import (
	"github.com/footman-ci/footman/remoting/jser"
)

// wrapper stands in for durable_task_monitor, the 2 MB program that the
// controller of 21-binary-wrapper sends to the agent: the recording leaves its
// chunks out. It takes the same options and does what the log of the recording
// shows of the real one.
const wrapper = `#!/bin/sh
for a; do
	case $a in
	-result=*) result=${a#*=} ;;
	-log=*) log=${a#*=} ;;
	-output=*) output=${a#*=} ;;
	-cookiename=*) name=${a#*=} ;;
	-cookieval=*) value=${a#*=} ;;
	-script=*) script=${a#*=} ;;
	-shell=*) shell=${a#*=} ;;
	esac
done
export "$name=$value"
{
	if [ -n "$output" ]; then "$shell" -xe "$script" >"$output" 2>"$log"; else "$shell" -xe "$script" >"$log" 2>&1; fi
	code=$?
	[ $code = 0 ] || echo "$(date +%T).000000 common.go:40: exit status $code" >>"$log"
	echo $code >"$result.tmp"
	mv "$result.tmp" "$result"
} </dev/null >/dev/null 2>&1 &
`

// leftOut is what a recording lacks of a stream to the agent: what is sent
// before the first EOF.
var leftOut = map[string]string{"21-binary-wrapper": wrapper}

var outChunkDesc = jser.Serializable(outStream+"Chunk", 1, commandDesc, jser.Prim("ioId", 'I'), jser.Prim("oid", 'I'), jser.Prim("requestId", 'I'), jser.Ref("buf", "[B"))

// sendLeftOut sends it to our stream oid.
func (d *driver) sendLeftOut(oid int32) {
	if text := leftOut[d.s.name]; text != "" && !d.filled {
		d.filled = true
		d.p.send(encodeCommand(jser.New(outChunkDesc, nil, int32(1), oid, int32(0), jser.ByteArray([]byte(text)))))
	}
}
