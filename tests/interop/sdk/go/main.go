// The official Go SDK against tidemark-hub; run_sdk.py starts it and says where the hubs are. TAP.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/coder/websocket"
)

var plain = way{text: os.Getenv("SDK_PLAIN")}

// A way to a hub.
type way struct {
	text   string
	custom string
	tls    *tls.Config
	ws     func(context.Context, azeventhubs.WebSocketConnParams) (net.Conn, error)
}

var retry = azeventhubs.RetryOptions{MaxRetries: 8, RetryDelay: 50 * time.Millisecond, MaxRetryDelay: time.Second}

type failure struct{ error }

// The test fails here.
func check(err error) {
	if err != nil {
		panic(failure{err})
	}
}

func expect(good bool, format string, args ...any) {
	if !good {
		panic(failure{fmt.Errorf(format, args...)})
	}
}

func within(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

func fault(what map[string]any) float64 {
	body, _ := json.Marshal(what)
	answer, err := http.Post("http://"+os.Getenv("SDK_CONTROL")+"/faults", "application/json", bytes.NewReader(body))
	check(err)
	defer answer.Body.Close()
	var told map[string]any
	check(json.NewDecoder(answer.Body).Decode(&told))
	expect(answer.StatusCode == 200, "%v", told)
	met, _ := told["met"].(float64)
	return met
}

func (w way) producer() *azeventhubs.ProducerClient {
	p, err := azeventhubs.NewProducerClientFromConnectionString(w.text, "hub", &azeventhubs.ProducerClientOptions{
		CustomEndpoint: w.custom, TLSConfig: w.tls, NewWebSocketConn: w.ws, RetryOptions: retry})
	check(err)
	return p
}

func (w way) consumer() *azeventhubs.ConsumerClient {
	c, err := azeventhubs.NewConsumerClientFromConnectionString(w.text, "hub", azeventhubs.DefaultConsumerGroup,
		&azeventhubs.ConsumerClientOptions{CustomEndpoint: w.custom, TLSConfig: w.tls, NewWebSocketConn: w.ws, RetryOptions: retry})
	check(err)
	return c
}

func closing(c interface{ Close(context.Context) error }) {
	ctx, cancel := within(5 * time.Second)
	defer cancel()
	_ = c.Close(ctx)
}

func (w way) last(partition string) int64 {
	ctx, cancel := within(20 * time.Second)
	defer cancel()
	p := w.producer()
	defer closing(p)
	properties, err := p.GetPartitionProperties(ctx, partition, nil)
	check(err)
	return properties.LastEnqueuedSequenceNumber
}

func (w way) send(options *azeventhubs.EventDataBatchOptions, events ...*azeventhubs.EventData) {
	ctx, cancel := within(40 * time.Second)
	defer cancel()
	p := w.producer()
	defer closing(p)
	batch, err := p.NewEventDataBatch(ctx, options)
	check(err)
	for _, e := range events {
		check(batch.AddEventData(e, nil))
	}
	check(p.SendEventDataBatch(ctx, batch, nil))
}

func texts(words ...string) (events []*azeventhubs.EventData) {
	for _, word := range words {
		events = append(events, &azeventhubs.EventData{Body: []byte(word)})
	}
	return events
}

func to(partition string) *azeventhubs.EventDataBatchOptions {
	return &azeventhubs.EventDataBatchOptions{PartitionID: &partition}
}

func (w way) read(partition string, count int, options *azeventhubs.PartitionClientOptions) []*azeventhubs.ReceivedEventData {
	c := w.consumer()
	defer closing(c)
	reader, err := c.NewPartitionClient(partition, options)
	check(err)
	defer closing(reader)
	return take(reader, count)
}

func take(reader *azeventhubs.PartitionClient, count int) (events []*azeventhubs.ReceivedEventData) {
	ctx, cancel := within(30 * time.Second)
	defer cancel()
	for len(events) < count {
		some, err := reader.ReceiveEvents(ctx, count-len(events), nil)
		check(err)
		events = append(events, some...)
	}
	return events
}

func after(sequence int64) *azeventhubs.PartitionClientOptions {
	return &azeventhubs.PartitionClientOptions{StartPosition: azeventhubs.StartPosition{SequenceNumber: &sequence}}
}

func bodies(events []*azeventhubs.ReceivedEventData) string {
	var all []string
	for _, e := range events {
		all = append(all, string(e.Body))
	}
	return strings.Join(all, ",")
}

func (w way) roundTrip() {
	before := w.last("3")
	w.send(to("3"), texts("one", "two", strings.Repeat("x", 300000))...)
	got := bodies(w.read("3", 3, after(before)))
	expect(got == "one,two,"+strings.Repeat("x", 300000), "other bodies came back")
}

// ---- the tests ----

func propertiesAreTold() {
	ctx, cancel := within(20 * time.Second)
	defer cancel()
	p := plain.producer()
	defer closing(p)
	hub, err := p.GetEventHubProperties(ctx, nil)
	check(err)
	expect(hub.Name == "hub" && reflect.DeepEqual(hub.PartitionIDs, []string{"0", "1", "2", "3"}), "%v", hub)
	part, err := p.GetPartitionProperties(ctx, "2", nil)
	check(err)
	expect(part.IsEmpty && part.LastEnqueuedSequenceNumber == -1, "%v", part)
}

func batchesGoByIdAndByKey() {
	before := map[string]int64{}
	ids := []string{"0", "1", "2", "3"}
	for _, id := range ids {
		before[id] = plain.last(id)
	}
	key := "device-0001"
	plain.send(&azeventhubs.EventDataBatchOptions{PartitionKey: &key}, texts("a", "b", "c")...)
	grown := ""
	for _, id := range ids {
		if more := plain.last(id) - before[id]; more != 0 {
			expect(more == 3 && grown == "", "partition %s grew by %d", id, more)
			grown = id
		}
	}
	got := plain.read(grown, 3, after(before[grown]))
	expect(bodies(got) == "a,b,c" && *got[0].PartitionKey == key, "%s", bodies(got))
	first := plain.last("1")
	plain.send(to("1"), texts("single")...)
	expect(bodies(plain.read("1", 1, after(first))) == "single", "it went elsewhere")
}

func anEventKeepsItsProperties() {
	kind, id := "application/x-thing", "m-1"
	properties := map[string]any{"text": "ü", "number": int64(7), "part": 1.5, "yes": true, "bytes": []byte{0, 255}}
	before := plain.last("2")
	plain.send(to("2"), &azeventhubs.EventData{Body: []byte{0, 255}, Properties: properties, ContentType: &kind,
		CorrelationID: "c-1", MessageID: &id})
	got := plain.read("2", 1, after(before))[0]
	expect(bytes.Equal(got.Body, []byte{0, 255}), "%v", got.Body)
	expect(reflect.DeepEqual(got.Properties, properties), "%v", got.Properties)
	expect(*got.ContentType == kind && *got.MessageID == id && got.CorrelationID == "c-1", "other standard properties")
	expect(got.SequenceNumber == before+1 && got.Offset != "", "%d", got.SequenceNumber)
}

func everyStartPositionIsMet() {
	yes := true
	base := plain.last("1") + 1
	plain.send(to("1"), texts("0", "1", "2", "3", "4")...)
	time.Sleep(20 * time.Millisecond) // the clock must tick between the two
	plain.send(to("1"), texts("5", "6", "7", "8", "9")...)
	all := plain.read("1", int(base)+10, &azeventhubs.PartitionClientOptions{
		StartPosition: azeventhubs.StartPosition{Earliest: &yes}})[base:]
	expect(bodies(all) == "0,1,2,3,4,5,6,7,8,9", "%s", bodies(all))
	six, noon := base+6, all[4].EnqueuedTime.Add(time.Millisecond)
	for name, c := range map[string]struct {
		start azeventhubs.StartPosition
		body  string
	}{
		"after a sequence number": {azeventhubs.StartPosition{SequenceNumber: &six}, "7"},
		"at a sequence number":    {azeventhubs.StartPosition{SequenceNumber: &six, Inclusive: true}, "6"},
		"after an offset":         {azeventhubs.StartPosition{Offset: &all[3].Offset}, "4"},
		"at an offset":            {azeventhubs.StartPosition{Offset: &all[3].Offset, Inclusive: true}, "3"},
		"after a time":            {azeventhubs.StartPosition{EnqueuedTime: &noon}, "5"},
	} {
		got := bodies(plain.read("1", 1, &azeventhubs.PartitionClientOptions{StartPosition: c.start}))
		expect(got == c.body, "%s: %s", name, got)
	}
	c := plain.consumer()
	defer closing(c)
	reader, err := c.NewPartitionClient("1", &azeventhubs.PartitionClientOptions{
		StartPosition: azeventhubs.StartPosition{Latest: &yes}})
	check(err)
	defer closing(reader)
	short, cancel := within(500 * time.Millisecond) // this SDK attaches with the first read
	_, err = reader.ReceiveEvents(short, 1, nil)
	cancel()
	expect(errors.Is(err, context.DeadlineExceeded), "%v", err)
	plain.send(to("1"), texts("next")...)
	expect(bodies(take(reader, 1)) == "next", "something else came")
}

func aHigherOwnerLevelTakesAPartitionOver() {
	yes, low, high := true, int64(1), int64(2)
	plain.send(to("0"), texts("x")...)
	c := plain.consumer()
	defer closing(c)
	from := azeventhubs.StartPosition{Earliest: &yes}
	first, err := c.NewPartitionClient("0", &azeventhubs.PartitionClientOptions{StartPosition: from, OwnerLevel: &low})
	check(err)
	defer closing(first)
	take(first, 1)
	second, err := c.NewPartitionClient("0", &azeventhubs.PartitionClientOptions{StartPosition: from, OwnerLevel: &high})
	check(err)
	defer closing(second)
	take(second, 1)
	ctx, cancel := within(20 * time.Second)
	defer cancel()
	for err == nil {
		_, err = first.ReceiveEvents(ctx, 100, nil)
	}
	var told *azeventhubs.Error
	expect(errors.As(err, &told) && told.Code == azeventhubs.ErrorCodeOwnershipLost, "%v", err)
}

func droppedConnectionsAreSurvived() {
	before := plain.last("2")
	c := plain.consumer()
	defer closing(c)
	reader, err := c.NewPartitionClient("2", after(before))
	check(err)
	defer closing(reader)
	plain.send(to("2"), texts("0", "1", "2")...)
	got := bodies(take(reader, 3))
	expect(fault(map[string]any{"fault": "drop_connections"}) >= 1, "no connection was met")
	plain.send(to("2"), texts("3", "4", "5")...)
	got += "," + bodies(take(reader, 3))
	expect(got == "0,1,2,3,4,5", "%s", got)
}

func aThrottledSendIsRetried() {
	before := plain.last("3")
	fault(map[string]any{"fault": "reject_sends", "condition": "com.microsoft:server-busy", "count": 2})
	plain.send(to("3"), texts("busy")...)
	expect(bodies(plain.read("3", 1, after(before))) == "busy", "something else came")
}

func authority() *tls.Config {
	pem, err := os.ReadFile(os.Getenv("SDK_CA"))
	check(err)
	pool := x509.NewCertPool()
	expect(pool.AppendCertsFromPEM(pem), "no certificate")
	return &tls.Config{RootCAs: pool, ServerName: "localhost"}
}

func tlsCarriesTheSame() {
	way{text: os.Getenv("SDK_TLS"), custom: "localhost:" + os.Getenv("SDK_PORT"), tls: authority()}.roundTrip()
}

func websocketInTLS(protocol string) {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: authority()}}
	way{text: os.Getenv("SDK_TLS"), ws: func(ctx context.Context, args azeventhubs.WebSocketConnParams) (net.Conn, error) {
		url := strings.Replace(args.Host, "wss://localhost/", "wss://"+os.Getenv("SDK_WSS")+"/", 1)
		conn, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{Subprotocols: []string{protocol}, HTTPClient: client})
		if err != nil {
			return nil, err
		}
		return websocket.NetConn(context.Background(), conn, websocket.MessageBinary), nil
	}}.roundTrip()
}

// As the SDK's own example does it.
func websocketInTLSCarriesTheSame()       { websocketInTLS("amqp") }
func websocketByItsOtherNameDoesTheSame() { websocketInTLS("AMQPWSB10") }

// ---- TAP ----

func try(test func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			f, ok := p.(failure)
			if !ok {
				panic(p)
			}
			err = f.error
		}
	}()
	test()
	return nil
}

func main() {
	tests := []struct {
		name string
		run  func()
	}{
		{"properties are told", propertiesAreTold},
		{"batches go by id and by key", batchesGoByIdAndByKey},
		{"an event keeps its properties", anEventKeepsItsProperties},
		{"every start position is met", everyStartPositionIsMet},
		{"a higher owner level takes a partition over", aHigherOwnerLevelTakesAPartitionOver},
		{"dropped connections are survived", droppedConnectionsAreSurvived},
		{"a throttled send is retried", aThrottledSendIsRetried},
		{"TLS carries the same", tlsCarriesTheSame},
		{"WebSocket in TLS carries the same", websocketInTLSCarriesTheSame},
		{"WebSocket by its other name does the same", websocketByItsOtherNameDoesTheSame},
	}
	fmt.Printf("1..%d\n", len(tests))
	code := 0
	for i, t := range tests {
		if err := try(t.run); err != nil {
			code = 1
			fmt.Printf("# %s\nnot ok %d - %s\n", strings.ReplaceAll(err.Error(), "\n", "\n# "), i+1, t.name)
		} else {
			fmt.Printf("ok %d - %s\n", i+1, t.name)
		}
	}
	os.Exit(code)
}
