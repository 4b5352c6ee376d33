"""The client of PyPI's paho-mqtt, at the other end of two pipes.

`clients/paho.rs` says on standard input what is to be done and reads on standard output what came of it. The lines are
those of `c/paho.c`, where they are listed.

    paho_mqtt.py HOST:PORT KEY VERSION CLIENT_ID SESSION
"""

import os
import sys
import threading

import paho.mqtt.client as mqtt

ANSWER_S = 20

address, key, version, client_id, session = sys.argv[1:]
is_clean = session == "clean"

topics = []  # What was granted, for the subscriptions after a reconnection.
asked = None  # What the SUBACK that is expected is about.
repeated = set()  # The packets that subscribed again.
speaking = threading.Lock()


def say(*words):
    # Both threads speak, and `print` alone writes a line in pieces.
    with speaking:
        print(*words, flush=True)


def on_connect(client, userdata, flags, reason_code, properties):
    if reason_code.is_failure:
        raise SystemExit(f"paho_mqtt.py: connecting: {reason_code}")
    if is_clean:
        repeated.update(client.subscribe(topic, qos)[1] for topic, qos in topics)
    say("connected", int(flags.session_present))


def on_subscribe(client, userdata, mid, reason_codes, properties):
    is_refused = reason_codes[0].is_failure
    if mid in repeated:
        if is_refused:
            raise SystemExit("paho_mqtt.py: what was granted before is refused now")
    elif is_refused:
        say("refused")
    else:
        topics.append(asked)
        say("granted", reason_codes[0].value)


def on_message(client, userdata, message):
    if message.retain:
        raise SystemExit(f"paho_mqtt.py: a message on {message.topic} is retained")
    say("message", message.topic, message.payload.decode())


def obey(client, line):
    global asked
    match line.rstrip("\n").split(" ", 2):
        case ["subscribe", qos, topic]:
            asked = (topic, int(qos))
            client.subscribe(*asked)
        case ["publish", topic, payload]:
            client.publish(topic, payload, qos=1).wait_for_publish(ANSWER_S)
            say("published")
        case _:
            raise ValueError(line)


def read(client):
    try:
        for line in sys.stdin:
            obey(client, line)
        client.disconnect()
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)


client = mqtt.Client(
    mqtt.CallbackAPIVersion.VERSION2,
    client_id=client_id,
    clean_session=is_clean,
    protocol=mqtt.MQTTv31 if version == "3.1" else mqtt.MQTTv311,
)
client.username_pw_set("authorization", key)
client.on_connect = on_connect
client.on_subscribe = on_subscribe
client.on_message = on_message
host, port = address.rsplit(":", 1)
client.connect(host, int(port))
threading.Thread(target=read, args=[client], daemon=True).start()
# It reconnects by itself, after a second.
client.loop_forever()
