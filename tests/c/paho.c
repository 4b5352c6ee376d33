/*
 * Debian's libpaho-mqtt, by its MQTTClient.h, at the other end of two pipes: `clients/paho.rs` says on standard input what
 * is to be done and reads on standard output what came of it. `python/paho_mqtt.py` speaks the same way.
 *
 *   paho HOST:PORT KEY VERSION CLIENT_ID SESSION     VERSION is 3.1 or 3.1.1, SESSION clean or durable
 *
 * in:   subscribe QOS TOPIC      out:  granted QOS, or refused
 *       publish TOPIC PAYLOAD          published
 *                                      connected PRESENT      now, and again after the connection was lost
 *                                      message TOPIC PAYLOAD
 *
 * At the end of its input it disconnects. What it cannot go on with ends it with status 1 and a sentence.
 */
#include <MQTTClient.h>

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ANSWER_MS = 20000, BETWEEN_ATTEMPTS_MS = 20, LINE_MAX_BYTES = 8192, TOPICS_MAX = 8, REFUSED = 0x80 };

/* What was granted, for the subscriptions after a reconnection. */
static struct {
    char *topic;
    int qos;
} topics[TOPICS_MAX];
static int topic_count;

/* The library says on a thread of its own that the connection is lost; the main thread hears it from this pipe. */
static int lost[2];

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("paho: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(EXIT_FAILURE);
}

static int on_message(void *context, char *topic, int topic_length, MQTTClient_message *message) {
    (void)context;
    /* The length of a topic is only given where it has a NUL inside. */
    int length = topic_length > 0 ? topic_length : (int)strlen(topic);
    if (message->retained) {
        fail("a message on %.*s is retained", length, topic);
    }
    printf("message %.*s %.*s\n", length, topic, message->payloadlen, (const char *)message->payload);
    MQTTClient_freeMessage(&message);
    MQTTClient_free(topic);
    return 1;
}

static void on_connection_lost(void *context, char *cause) {
    (void)context;
    (void)cause;
    if (write(lost[1], "", 1) != 1) {
        fail("the pipe to the main thread is closed");
    }
}

static int subscribe(MQTTClient client, const char *topic, int qos) {
    int code = MQTTClient_subscribe(client, topic, qos);
    if (code != MQTTCLIENT_SUCCESS && code != REFUSED) {
        fail("subscribing to %s: %s (%d)", topic, MQTTClient_strerror(code), code);
    }
    return code;
}

static void take_connection(MQTTClient client, MQTTClient_connectOptions *options) {
    int code = MQTTClient_connect(client, options);
    while (code == MQTTCLIENT_FAILURE) {
        /* Nobody listens, or not yet again. */
        poll(NULL, 0, BETWEEN_ATTEMPTS_MS);
        code = MQTTClient_connect(client, options);
    }
    if (code != MQTTCLIENT_SUCCESS) {
        fail("connecting: %s (%d)", MQTTClient_strerror(code), code);
    }
    for (int at = 0; options->cleansession && at < topic_count; at++) {
        if (subscribe(client, topics[at].topic, topics[at].qos) == REFUSED) {
            fail("%s was granted before and is refused now", topics[at].topic);
        }
    }
    printf("connected %d\n", options->returned.sessionPresent);
}

/* Reads one line, without what is behind it; 0 at the end of the input. */
static int read_line(char *line) {
    int length = 0;
    while (length < LINE_MAX_BYTES - 1 && read(STDIN_FILENO, line + length, 1) == 1) {
        if (line[length] == '\n') {
            line[length] = '\0';
            return 1;
        }
        length++;
    }
    return 0;
}

static void obey(MQTTClient client, char *line) {
    char *word = strtok(line, " ");
    if (word != NULL && strcmp(word, "subscribe") == 0) {
        int qos = atoi(strtok(NULL, " "));
        char *topic = strtok(NULL, "");
        if (subscribe(client, topic, qos) == REFUSED) {
            puts("refused");
            return;
        }
        if (topic_count == TOPICS_MAX) {
            fail("no more than %d topics", TOPICS_MAX);
        }
        topics[topic_count].topic = strdup(topic);
        topics[topic_count++].qos = qos;
        printf("granted %d\n", qos);
    } else if (word != NULL && strcmp(word, "publish") == 0) {
        char *topic = strtok(NULL, " ");
        char *payload = strtok(NULL, "");
        MQTTClient_deliveryToken token;
        int code = MQTTClient_publish(client, topic, (int)strlen(payload), payload, 1, 0, &token);
        if (code == MQTTCLIENT_SUCCESS) {
            code = MQTTClient_waitForCompletion(client, token, ANSWER_MS);
        }
        if (code != MQTTCLIENT_SUCCESS) {
            fail("publishing on %s: %s (%d)", topic, MQTTClient_strerror(code), code);
        }
        puts("published");
    } else {
        fail("what is to be done is not understood");
    }
}

int main(int count, char **arguments) {
    if (count != 6) {
        fail("HOST:PORT KEY VERSION CLIENT_ID SESSION are expected");
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (pipe(lost) != 0) {
        fail("no pipe");
    }
    MQTTClient client;
    MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
    options.username = "authorization";
    options.password = arguments[2];
    options.MQTTVersion = strcmp(arguments[3], "3.1") == 0 ? MQTTVERSION_3_1 : MQTTVERSION_3_1_1;
    options.cleansession = strcmp(arguments[5], "clean") == 0;
    if (MQTTClient_create(&client, arguments[1], arguments[4], MQTTCLIENT_PERSISTENCE_NONE, NULL) !=
            MQTTCLIENT_SUCCESS ||
        MQTTClient_setCallbacks(client, NULL, on_connection_lost, on_message, NULL) != MQTTCLIENT_SUCCESS) {
        fail("no client");
    }
    take_connection(client, &options);

    struct pollfd sources[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = lost[0], .events = POLLIN}};
    for (;;) {
        if (poll(sources, 2, -1) < 0) {
            fail("nothing to wait for");
        }
        char line[LINE_MAX_BYTES];
        if (sources[1].revents != 0) {
            if (read(lost[0], line, 1) != 1) {
                fail("the pipe from the library is closed");
            }
            take_connection(client, &options);
        } else if (sources[0].revents != 0) {
            if (!read_line(line)) {
                break;
            }
            obey(client, line);
        }
    }
    MQTTClient_disconnect(client, ANSWER_MS);
    MQTTClient_destroy(&client);
    return EXIT_SUCCESS;
}
