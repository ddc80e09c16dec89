import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.node.InternalSettingsPreparer;

/**
 * A node by itself on loopback, in one process and from jars alone: without the checks of the host that its own start-up makes.
 *
 * <p>Node HOME PORT TRANSPORT_PORT [NAME=VALUE...] prints `started` once it answers.
 */
final class Node extends org.opensearch.node.Node {
  private Node(Environment environment) {
    super(environment, List.of(
        org.opensearch.transport.Netty4Plugin.class,
        org.opensearch.index.reindex.ReindexPlugin.class,
        org.opensearch.painless.PainlessPlugin.class,
        org.opensearch.index.mapper.MapperExtrasPlugin.class,
        org.opensearch.join.ParentJoinPlugin.class,
        org.opensearch.analysis.common.CommonAnalysisPlugin.class), true);
  }

  public static void main(String[] arguments) throws Exception {
    Path home = Path.of(arguments[0]);
    Path config = Files.createDirectories(home.resolve("config"));
    Settings.Builder settings = Settings.builder()
        .put("path.home", home.toString())
        .put("cluster.name", "tests")
        .put("node.name", "node")
        .put("discovery.type", "single-node")
        .put("http.host", "127.0.0.1")
        .put("http.port", arguments[1])
        .put("transport.host", "127.0.0.1")
        .put("transport.port", arguments[2])
        // A full disk would make every index read-only.
        .put("cluster.routing.allocation.disk.threshold_enabled", false)
        .put("node.processors", 2);
    for (int i = 3; i < arguments.length; i++) {
      String[] setting = arguments[i].split("=", 2);
      settings.put(setting[0], setting[1]);
    }
    Node node = new Node(InternalSettingsPreparer.prepareEnvironment(settings.build(), Map.of(), config, () -> "node"));
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      try {
        node.close();
      } catch (Exception error) {
        error.printStackTrace();
      }
    }));
    node.start();
    node.client().admin().cluster().prepareHealth().setWaitForYellowStatus().get();
    System.out.println("started");
    Thread.currentThread().join();
  }
}
