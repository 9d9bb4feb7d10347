"""Words of links to other tools. Keys begin with `links.`."""

EN: dict[str, str] = {
    "see": "The same in",
    "mlflow": "MLflow",
    "mlflow_version": "MLflow, the version",
    "mlflow_run": "MLflow, the run",
    "kubeflow": "Kubeflow",
    "evidently": "Evidently",
    "feast": "Feast",
}

ZH: dict[str, str] = {
    "see": "相关页面：",
    "mlflow": "MLflow 模型库",
    "mlflow_version": "MLflow（版本）",
    "mlflow_run": "MLflow（运行）",
    "kubeflow": "Kubeflow 运行",
    "evidently": "Evidently 报告",
    "feast": "Feast 特征",
}
