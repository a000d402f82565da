from airflow import DAG

with DAG("nightly"):
    pass
