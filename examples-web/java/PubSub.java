/*
 * Eclipse Paho in Java: subscribes to a property and publishes it, and ends after three updates.
 *
 * Needs a JDK 11 or newer and two libraries, in the versions that it was written for:
 * org.eclipse.paho.client.mqttv3 1.2.5 and org.json 20240303 (Maven: org.eclipse.paho:org.eclipse.paho.client.mqttv3 and
 * org.json:json). With both jar files in a folder lib:
 *
 *   export KEY=$(cat data/operator.key) THNG=...
 *   java -cp 'lib/*' examples-web/java/PubSub.java
 *
 * This file is not compiled by the project's tests: they do not require a JDK.
 */

import java.nio.charset.StandardCharsets;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

import org.eclipse.paho.client.mqttv3.MqttClient;
import org.eclipse.paho.client.mqttv3.MqttConnectOptions;
import org.eclipse.paho.client.mqttv3.MqttMessage;
import org.eclipse.paho.client.mqttv3.persist.MemoryPersistence;
import org.json.JSONArray;
import org.json.JSONObject;

public final class PubSub {
    private static final int MESSAGES = 3;

    public static void main(String[] arguments) throws Exception {
        final String apiKey = setting("KEY", null);
        final String thngId = setting("THNG", null);
        final String mqttUrl = "tcp://" + setting("MQTT", "127.0.0.1:1883");
        final String propertyKey = "temperature_celsius";

        // Authentication
        final MqttClient client = new MqttClient(mqttUrl, MqttClient.generateClientId(), new MemoryPersistence());
        final MqttConnectOptions options = new MqttConnectOptions();
        options.setUserName("authorization");
        options.setPassword(apiKey.toCharArray());
        client.connect(options);

        // Subscription. It returns when the server has answered.
        final String topic = "/thngs/" + thngId + "/properties/" + propertyKey;
        final CountDownLatch awaited = new CountDownLatch(MESSAGES);
        client.subscribe(topic, (name, message) -> {
            System.out.println("Message: " + message);
            awaited.countDown();
        });

        // Publications
        for (int i = 0; i < MESSAGES; i++) {
            final JSONArray payload = new JSONArray();
            payload.put(new JSONObject()
                .put("value", Math.round(Math.random() * 10000))
                .put("timestamp", System.currentTimeMillis()));
            final MqttMessage message = new MqttMessage(payload.toString().getBytes(StandardCharsets.UTF_8));
            client.publish(topic, message);
        }

        final boolean isComplete = awaited.await(30, TimeUnit.SECONDS);
        client.disconnect();
        client.close();
        if (!isComplete) throw new IllegalStateException("Not everything has come back.");
    }

    private static String setting(String name, String otherwise) {
        final String value = System.getenv().getOrDefault(name, otherwise);
        if (value == null) throw new IllegalArgumentException("Set " + name + " in the environment.");
        return value;
    }
}
