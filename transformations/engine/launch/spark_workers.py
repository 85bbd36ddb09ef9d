"""What a Spark session on this machine starts in place of `pyspark.daemon`: Python workers, forked from a process that
has already imported what every task needs. Each worker would else import it anew.

Spark starts it by its name, `spark.python.daemon.module`, with the name of the workers' own module as its argument. The
variable SPARK_WORKERS_IMPORT names the module to import.
"""

import importlib
import os

from pyspark.daemon import manager

if __name__ == "__main__":
    importlib.import_module(os.environ["SPARK_WORKERS_IMPORT"])
    manager()
