//! Brokers on this machine: their configuration, start and stop.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Answer;
use crate::java::{Java, output};

/// How long a broker may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(180);

const CLUSTER_ID: &str = "7KI6ZYmXQueSUl8cN6Lu3Q";

/// Brokers below one directory. The first is the controller too, and is started with the others and stopped after them: a broker that is
/// asked to stop waits minutes for a controller to let it go, and there is none where half of several controllers stop at once.
#[derive(Debug)]
pub struct Cluster {
    java: Java,
    heap: u32,
    brokers: Vec<Broker>,
}

#[derive(Debug)]
struct Broker {
    dir: PathBuf,
    port: u16,
    process: Option<Child>,
    starts: u32,
}

impl Broker {
    fn settings(&self) -> PathBuf {
        self.dir.join("server.properties")
    }

    fn log(&self) -> PathBuf {
        self.dir.join(format!("broker-{}.log", self.starts))
    }

    /// Until it has stopped, as it was asked to.
    fn wait(&mut self) -> Answer<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        let asked = Instant::now();
        while process.try_wait()?.is_none() {
            if asked.elapsed() > PATIENCE {
                process.kill()?;
                process.wait()?;
                return Err(format!("a broker did not stop:\n{}", fs::read_to_string(self.log())?).into());
            }
            sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

fn free_ports(count: usize) -> Answer<Vec<u16>> {
    // All are held until all are known, so that none is given out twice.
    let held: Vec<_> =
        (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<_, _>>()?;
    Ok(held
        .iter()
        .map(TcpListener::local_addr)
        .map(|found| found.map(|found| found.port()))
        .collect::<Result<_, _>>()?)
}

impl Cluster {
    /// Formats the directories of so many brokers; nothing runs yet.
    pub fn create(java: &Java, dir: &Path, count: usize) -> Answer<Self> {
        let ports = free_ports(count + 1)?;
        let (controller, ports) = ports.split_first().ok_or("no port")?;
        let mut brokers = Vec::new();
        for (id, port) in (1..).zip(ports) {
            let broker =
                Broker { dir: dir.join(format!("broker-{id}")), port: *port, process: None, starts: 0 };
            fs::create_dir_all(&broker.dir)?;
            let mut settings = String::new();
            writeln!(settings, "node.id={id}")?;
            if id == 1 {
                writeln!(settings, "process.roles=broker,controller")?;
                writeln!(
                    settings,
                    "listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}"
                )?;
            } else {
                writeln!(settings, "process.roles=broker")?;
                writeln!(settings, "listeners=PLAINTEXT://127.0.0.1:{port}")?;
            }
            writeln!(settings, "controller.quorum.voters=1@127.0.0.1:{controller}")?;
            writeln!(settings, "log.dirs={}", broker.dir.join("logs").display())?;
            // Of its own, so that the directory of the logs has nothing but logs.
            writeln!(settings, "metadata.log.dir={}", broker.dir.join("metadata").display())?;
            for topic in ["offsets.topic", "transaction.state.log", "share.coordinator.state.topic"] {
                writeln!(settings, "{topic}.num.partitions=1")?;
                writeln!(settings, "{topic}.replication.factor={count}")?;
            }
            settings.push_str(SETTINGS);
            fs::write(broker.settings(), settings)?;
            let mut format = java.command(256, "kafka.tools.StorageTool");
            format.args(["format", "-t", CLUSTER_ID, "-c"]).arg(broker.settings());
            output(&mut format)?;
            brokers.push(broker);
        }
        Ok(Self { java: java.clone(), heap: 384, brokers })
    }

    /// Gives each broker so many MiB of heap, from its next start on.
    pub fn with_heap(mut self, mebibytes: u32) -> Self {
        self.heap = mebibytes;
        self
    }

    /// The ids of the processes that run.
    pub fn processes(&self) -> Vec<u32> {
        self.brokers.iter().filter_map(|broker| broker.process.as_ref().map(Child::id)).collect()
    }

    /// Adds a line to the settings of each broker, from its next start on.
    pub fn set(&self, line: &str) -> Answer<()> {
        for broker in &self.brokers {
            let settings = fs::read_to_string(broker.settings())?;
            fs::write(broker.settings(), format!("{settings}\n{line}\n"))?;
        }
        Ok(())
    }

    /// For a client's `bootstrap.servers`.
    pub fn servers(&self) -> String {
        let servers: Vec<_> =
            self.brokers.iter().map(|broker| format!("127.0.0.1:{}", broker.port)).collect();
        servers.join(",")
    }

    /// The directory of a broker's logs.
    pub fn logs(&self, broker: usize) -> PathBuf {
        self.brokers[broker].dir.join("logs")
    }

    /// What a broker said since it was last started.
    pub fn said(&self, broker: usize) -> Answer<String> {
        Ok(fs::read_to_string(self.brokers[broker].log())?)
    }

    /// Starts all brokers and waits until they serve.
    pub fn start(&mut self) -> Answer<()> {
        for broker in &mut self.brokers {
            broker.starts += 1;
            broker.process =
                Some(self.java.start(self.heap, "kafka.Kafka", &broker.settings(), &broker.log())?);
        }
        for broker in &mut self.brokers {
            let started = Instant::now();
            while !fs::read_to_string(broker.log())?.contains("Kafka Server started") {
                let ended = broker.process.as_mut().map(Child::try_wait).transpose()?.flatten();
                if ended.is_some() || started.elapsed() > PATIENCE {
                    return Err(
                        format!("a broker did not start:\n{}", fs::read_to_string(broker.log())?).into()
                    );
                }
                sleep(Duration::from_millis(50));
            }
        }
        Ok(())
    }

    /// Asks all brokers to stop, the controller when the others have, and waits until they have.
    pub fn stop(&mut self) -> Answer<()> {
        let controllers = self.brokers.len().min(1);
        let (controller, others) = self.brokers.split_at_mut(controllers);
        for brokers in [others, controller] {
            for process in brokers.iter().filter_map(|broker| broker.process.as_ref()) {
                output(Command::new("kill").arg(process.id().to_string()))?;
            }
            brokers.iter_mut().try_for_each(Broker::wait)?;
        }
        Ok(())
    }

    /// Kills all brokers at once.
    pub fn kill(&mut self) -> Answer<()> {
        for broker in &mut self.brokers {
            if let Some(mut process) = broker.process.take() {
                process.kill()?;
                process.wait()?;
            }
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("a broker may still run: {error}");
        }
    }
}

/// Small, quick, and nothing that is thrown away unasked.
const SETTINGS: &str = "\
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
transaction.state.log.min.isr=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.retention.ms=-1
log.retention.check.interval.ms=1000
log.segment.delete.delay.ms=100
log.initial.task.delay.ms=500
log.cleaner.backoff.ms=200
log.cleaner.dedupe.buffer.size=4194304
log.index.size.max.bytes=65536
num.network.threads=2
num.io.threads=2
num.recovery.threads.per.data.dir=1
controlled.shutdown.enable=true
";
